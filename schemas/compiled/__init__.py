"""The compiled codec: a layout made of a schema (`layout`), and what reads and writes by it (`codec`, in C).

It is built with the package where there is a C compiler. `schemas.codec` chooses between it and fastavro.
"""
