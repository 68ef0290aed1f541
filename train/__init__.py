"""The workstation's side: data, augmentation, networks, fitting and evaluation (Keras 3)."""
