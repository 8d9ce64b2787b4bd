# cython: language_level=3, boundscheck=False, wraparound=False, binding=False
"""Reads and writes records by their layouts; strict in both directions.

Reading checks every length, branch, index, flag and number, and that nothing follows the record; it takes
one spelling of a number, the shortest. Writing checks types, ranges and symbols. All else (the framing's
errors, older versions, unknown features) is left to `fallback`, which decides the same, slower.
"""

from cpython.bool cimport PyBool_Check
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_GetItemWithError, PyDict_SetItem
from cpython.list cimport PyList_Append
from cpython.long cimport PyLong_Check
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_Check, PyUnicode_DecodeUTF8
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from schemas.compiled.layout import NO_DEFAULT

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    object PyUnicode_FromObject(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef enum Kind:
    STRING
    LONG
    INT
    BOOLEAN
    ENUM
    ARRAY
    RECORD

KINDS = {
    "string": STRING, "long": LONG, "int": INT, "boolean": BOOLEAN,
    "enum": ENUM, "array": ARRAY, "record": RECORD,
}

cdef enum:
    HEAD = 5          # a zero byte and the schema's id
    VARINT_MAX = 10   # bytes of the longest number
    ON_STACK = 1024   # bytes a record may have before memory is asked for
    PLAIN_MAX = 128   # characters of a plain string


class Malformed(Exception):
    """Bytes that do not follow the layout."""


cdef class Step:
    """A layout with its fields where C finds them."""

    cdef Kind kind
    cdef bint nullable
    cdef str place
    cdef tuple names     # symbols of an enum, fields of a record
    cdef tuple parts     # a Step a field; one for the items of an array
    cdef tuple defaults
    cdef dict indices    # symbol -> index
    cdef dict blank      # a record with all fields: copied and filled, it never has to grow

    def __init__(self, layout):
        self.kind = KINDS[layout.kind]
        self.nullable = layout.nullable
        self.place = layout.place or "record"
        self.names = layout.names
        self.parts = tuple([Step(part) for part in layout.parts])
        self.defaults = layout.defaults
        self.indices = {symbol: index for index, symbol in enumerate(layout.names)}
        self.blank = dict.fromkeys(layout.names)


# Reading

cdef struct Span:
    const unsigned char* at
    const unsigned char* end
    bint plain    # every string so far was 1 to PLAIN_MAX printable ASCII characters


cdef int read_long(Step step, Span* data, int64_t* number) except -1:
    cdef uint64_t bits = 0, byte
    cdef int shift = 0
    while True:
        if data.at == data.end:
            raise Malformed(f"{step.place}: the bytes end within a number")
        byte = data.at[0]
        data.at += 1
        if shift == 63 and byte > 1:
            raise Malformed(f"{step.place}: a number of more than 64 bits")
        bits |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if byte == 0 and shift > 0:
        raise Malformed(f"{step.place}: a number that is longer than it needs to be")
    number[0] = <int64_t>(bits >> 1) ^ -<int64_t>(bits & 1)
    return 0


cdef inline bint is_plain(const unsigned char* text, int64_t size) noexcept:
    cdef unsigned char odd = 0
    cdef int64_t index
    if size < 1 or size > PLAIN_MAX:
        return False
    for index in range(size):    # without a branch: the compiler takes many bytes at once
        odd |= <unsigned char>(text[index] - 0x20) > 0x5E
    return not odd


cdef object read(Step step, Span* data):
    cdef int64_t number
    cdef object text
    if step.nullable:
        read_long(step, data, &number)
        if number == 0:
            return None
        if number != 1:
            raise Malformed(f"{step.place}: there is no branch {number}")
    if step.kind == STRING:
        read_long(step, data, &number)
        if number < 0 or number > data.end - data.at:
            raise Malformed(f"{step.place}: a string of {number} bytes where {data.end - data.at} are left")
        text = PyUnicode_DecodeUTF8(<const char*>data.at, number, NULL)
        data.plain = data.plain and is_plain(data.at, number)
        data.at += number
        return text
    if step.kind == LONG:
        read_long(step, data, &number)
        return number
    if step.kind == RECORD:
        return read_record(step, data)
    if step.kind == BOOLEAN:
        if data.at == data.end or data.at[0] > 1:
            raise Malformed(f"{step.place}: neither 0 nor 1 for a boolean")
        number = data.at[0]
        data.at += 1
        return number == 1
    if step.kind == ENUM:
        read_long(step, data, &number)
        if number < 0 or number >= PyTuple_GET_SIZE(step.names):
            raise Malformed(f"{step.place}: there is no symbol {number}")
        return <object>PyTuple_GET_ITEM(step.names, number)
    if step.kind == INT:
        read_long(step, data, &number)
        if number < INT32_MIN or number > INT32_MAX:
            raise Malformed(f"{step.place}: {number} is no 32-bit number")
        return number
    return read_array(step, data)


cdef dict read_record(Step step, Span* data):
    cdef dict record = PyDict_Copy(step.blank)
    cdef Py_ssize_t index
    for index in range(PyTuple_GET_SIZE(step.names)):
        value = read(<Step>PyTuple_GET_ITEM(step.parts, index), data)
        PyDict_SetItem(record, <object>PyTuple_GET_ITEM(step.names, index), value)
    return record


cdef tuple read_fields(Step step, Span* data):
    cdef Py_ssize_t index, count = PyTuple_GET_SIZE(step.names)
    cdef tuple fields = PyTuple_New(count)
    for index in range(count):
        value = read(<Step>PyTuple_GET_ITEM(step.parts, index), data)
        Py_INCREF(value)
        PyTuple_SET_ITEM(fields, index, value)
    return fields


cdef list read_array(Step step, Span* data):
    """Blocks of items up to an empty one; a negative count is followed by the block's size in bytes."""
    cdef Step item = <Step>PyTuple_GET_ITEM(step.parts, 0)
    cdef const unsigned char* end
    cdef int64_t count, size, _
    cdef list items = []
    while True:
        read_long(step, data, &count)
        if count == 0:
            return items
        end = NULL
        if count < 0:
            read_long(step, data, &size)
            if size < 0 or size > data.end - data.at:
                raise Malformed(f"{step.place}: a block of {size} bytes where {data.end - data.at} are left")
            end = data.at + size
            if count == INT64_MIN:
                raise Malformed(f"{step.place}: a block of {count} items")
            count = -count
        if count > data.end - data.at:
            raise Malformed(f"{step.place}: {count} items in {data.end - data.at} bytes")
        for _ in range(count):
            PyList_Append(items, read(item, data))
        if end != NULL and data.at != end:
            raise Malformed(f"{step.place}: a block that is not as long as it says")


# Writing

cdef struct Buffer:
    unsigned char* start
    Py_ssize_t size
    Py_ssize_t capacity
    unsigned char* first    # memory of the caller, not to be freed


cdef int grow(Buffer* out, Py_ssize_t more) except -1:
    cdef Py_ssize_t capacity = 2 * (out.size + more)
    cdef unsigned char* larger
    if out.start == out.first:
        larger = <unsigned char*>PyMem_Malloc(capacity)
        if larger != NULL:
            memcpy(larger, out.start, out.size)
    else:
        larger = <unsigned char*>PyMem_Realloc(out.start, capacity)
    if larger == NULL:
        raise MemoryError
    out.start = larger
    out.capacity = capacity
    return 0


cdef inline int reserve(Buffer* out, Py_ssize_t more) except -1:
    if out.capacity - out.size < more:
        grow(out, more)
    return 0


cdef inline int write_long(Buffer* out, int64_t number) except -1:
    cdef uint64_t bits = (<uint64_t>number << 1) ^ <uint64_t>(number >> 63)
    reserve(out, VARINT_MAX)
    while bits > 127:
        out.start[out.size] = <unsigned char>(bits & 127 | 128)
        out.size += 1
        bits >>= 7
    out.start[out.size] = <unsigned char>bits
    out.size += 1
    return 0


cdef int write(Step step, object value, Buffer* out) except -1:
    cdef Py_ssize_t size
    cdef const char* text
    if step.nullable:
        write_long(out, value is not None)
        if value is None:
            return 0
    if step.kind == STRING:
        if not PyUnicode_Check(value):
            raise wrong_type(step, "a string", value)
        text = PyUnicode_AsUTF8AndSize(value, &size)
        write_long(out, size)
        reserve(out, size)
        memcpy(out.start + out.size, text, size)
        out.size += size
    elif step.kind == LONG or step.kind == INT:
        write_long(out, integer(step, value))
    elif step.kind == RECORD:
        write_record(step, value, out)
    elif step.kind == BOOLEAN:
        if not PyBool_Check(value):
            raise wrong_type(step, "a boolean", value)
        write_long(out, -1 if value is True else 0)   # zigzag: the bytes 1 and 0
    elif step.kind == ENUM:
        write_long(out, symbol_index(step, value))
    else:
        write_array(step, value, out)
    return 0


cdef int64_t integer(Step step, object value) except? -1:
    cdef int overflow
    cdef int64_t number
    if not PyLong_Check(value) or PyBool_Check(value):
        raise wrong_type(step, "an integer", value)
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or step.kind == INT and (number < INT32_MIN or number > INT32_MAX):
        raise ValueError(f"{step.place}: {value} does not fit into {'an int' if step.kind == INT else 'a long'}")
    return number


cdef int64_t symbol_index(Step step, object value) except -1:
    cdef PyObject* index
    if not PyUnicode_Check(value):
        raise wrong_type(step, "a symbol", value)
    # A subclass may compare as it likes and run code; its text may not.
    index = PyDict_GetItemWithError(step.indices, PyUnicode_FromObject(value))
    if index == NULL:
        raise ValueError(f"{step.place}: {value!r} is none of {', '.join(step.names)}")
    return <object>index


cdef int write_record(Step step, object value, Buffer* out) except -1:
    cdef dict record
    cdef PyObject* found
    cdef Py_ssize_t index
    cdef object part
    if not isinstance(value, dict):
        raise wrong_type(step, "a dict", value)
    record = <dict>value
    for index in range(PyTuple_GET_SIZE(step.names)):
        found = PyDict_GetItemWithError(record, <object>PyTuple_GET_ITEM(step.names, index))
        if found == NULL:
            found = PyTuple_GET_ITEM(step.defaults, index)
            if <object>found is NO_DEFAULT:
                raise ValueError(f"no value and no default for {step.names[index]}")
        part = <object>found    # held, whatever becomes of the dict
        write(<Step>PyTuple_GET_ITEM(step.parts, index), part, out)
    return 0


cdef int write_array(Step step, object value, Buffer* out) except -1:
    cdef Step item = <Step>PyTuple_GET_ITEM(step.parts, 0)
    cdef tuple items
    if not isinstance(value, (list, tuple)):
        raise wrong_type(step, "a list", value)
    items = tuple(value)
    if items:
        write_long(out, PyTuple_GET_SIZE(items))
        for each in items:
            write(item, each, out)
    write_long(out, 0)
    return 0


cdef object wrong_type(Step step, str expected, object value):
    return TypeError(f"{step.place}: {type(value).__name__} where {expected} is expected")


# Framing

cdef class Codec:
    """`encode` and `decode` of `schemas.codec`.

    `readers` are (record, layout) by schema id, `writers` (first five bytes, layout) by record. What is in
    neither goes to `fallback`, a codec too, which also makes the refusals. Values of more than `size_max`
    bytes are left to it.
    """

    cdef dict readers
    cdef dict writers
    cdef object fallback
    cdef Py_ssize_t size_max

    def __init__(self, dict readers, dict writers, object fallback, Py_ssize_t size_max):
        self.readers = {key: (record, Step(layout)) for key, (record, layout) in readers.items()}
        self.writers = {record: (head, Step(layout)) for record, (head, layout) in writers.items()}
        self.fallback = fallback
        self.size_max = size_max

    def decode(self, value):
        return self._decode(value, False)

    def decode_fields(self, value):
        return self._decode(value, True)

    cdef object _decode(self, object value, bint as_fields):
        cdef Span data
        cdef uint32_t schema_id
        cdef Py_ssize_t size
        cdef PyObject* reader = NULL
        cdef tuple found
        if type(value) is bytes:
            size = PyBytes_GET_SIZE(value)
            data.at = <const unsigned char*>PyBytes_AS_STRING(value)
            if HEAD <= size <= self.size_max and data.at[0] == 0:
                schema_id = (<uint32_t>data.at[1] << 24) | (data.at[2] << 16) | (data.at[3] << 8) | data.at[4]
                reader = PyDict_GetItemWithError(self.readers, schema_id)
        if reader == NULL:
            return self.fallback.decode_fields(value) if as_fields else self.fallback.decode(value)
        found = <tuple>reader
        data.end = data.at + size
        data.at += HEAD
        data.plain = as_fields    # nobody asks for it otherwise
        try:
            if as_fields:
                datum = read_fields(<Step>PyTuple_GET_ITEM(found, 1), &data)
            else:
                datum = read_record(<Step>PyTuple_GET_ITEM(found, 1), &data)
        except (Malformed, UnicodeDecodeError) as error:
            raise self.fallback.refusal(found[0], error) from error
        if data.at != data.end:
            raise self.fallback.surplus(found[0], data.end - data.at)
        if as_fields:
            return <object>PyTuple_GET_ITEM(found, 0), datum, bool(data.plain)
        return <object>PyTuple_GET_ITEM(found, 0), datum

    def encode(self, record, datum):
        cdef unsigned char first[ON_STACK]
        cdef Buffer out
        cdef tuple found
        cdef PyObject* writer = PyDict_GetItemWithError(self.writers, record)
        if writer == NULL:
            return self.fallback.encode(record, datum)
        found = <tuple>writer
        out.start = out.first = first
        out.capacity = ON_STACK
        out.size = HEAD
        memcpy(first, PyBytes_AS_STRING(<object>PyTuple_GET_ITEM(found, 0)), HEAD)
        try:
            write_record(<Step>PyTuple_GET_ITEM(found, 1), datum, &out)
            return PyBytes_FromStringAndSize(<char*>out.start, out.size)
        finally:
            if out.start != first:
                PyMem_Free(out.start)
