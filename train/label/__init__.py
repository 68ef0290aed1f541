"""Labels from bright-field frames and their nuclear fluorescence: suggested, then confirmed by a person.

The method of the paper (Chen, Fu et al., Heliyon 2024): granulocytes show several bright lobes, lymphocytes
one round spot nearly the cell's size, monocytes one spot clearly smaller than the cell.
"""
