"""Index plug-ins: one file each, see base.py."""
