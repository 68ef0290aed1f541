"""Does every 95 % interval that is printed hold the truth?"""
