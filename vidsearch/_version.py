"""The version of vidsearch, where every module can import it from."""

__version__ = "0.1.0"
