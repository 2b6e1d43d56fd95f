"""The LDM layout of published single files, read and written."""
