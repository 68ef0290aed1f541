"""The workstation's commands, one module each."""
