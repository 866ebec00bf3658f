"""The version of a package, and of the Python that runs it.   version.py PACKAGE"""
import importlib.metadata
import platform
import sys

print(sys.argv[1], importlib.metadata.version(sys.argv[1]), "on Python", platform.python_version())
