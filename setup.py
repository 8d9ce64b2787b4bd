"""The one part of the build that pyproject.toml cannot say: the compiled codec.

Without a C compiler the package installs all the same, and `schemas.codec` uses fastavro.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

codec = Extension("schemas.compiled.codec", ["schemas/compiled/codec.pyx"])
extensions = cythonize([codec], build_dir="build/cython")
for extension in extensions:
    extension.optional = True  # said here, because cythonize drops it

setup(ext_modules=extensions)
