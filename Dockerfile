# The host of one call, for Cloudflare Containers or any other place that runs images.
#
#   docker build -t tipring .
#   docker build -t tipring --build-arg CONFIG=mine.toml --build-arg PLUGINS="tipring-turn-smart acme-stt" .

FROM python:3.12-slim-bookworm AS build
# What answers: this repository's plugins, and others that are published.
ARG PLUGINS="tipring-stt-deepgram tipring-turn-smart tipring-turn-flux tipring-llm-gateway tipring-tts-elevenlabs tipring-tts-hibari"
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never XDG_CACHE_HOME=/cache
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /app
WORKDIR /src
COPY pyproject.toml ./
COPY core core
COPY plugins plugins
# The versions are those that the tests ran with, which pyproject.toml pins. Pipecat requires
# resampy, and with it numba and llvmlite, for a resampler that nothing here uses: 210 MB that are
# never imported. bake.py fails if they were.
COPY docker/pinned.py docker/slim.py docker/
# hadolint ignore=SC2086
RUN printf '%s ; python_version < "3"\n' numba llvmlite resampy > leave-out.txt \
    && python docker/pinned.py > pinned.txt \
    && uv build --all-packages --wheel --out-dir wheels \
    && uv pip install --python /app/bin/python --no-sources --find-links wheels \
        --overrides leave-out.txt --constraints pinned.txt tipring $PLUGINS \
    && /app/bin/python docker/slim.py
# Python's own image has no bytecode of the standard library, and nobody who may write it: all of it
# is here. Of large packages of which a call uses little, bake.py leaves that of what it loads.
ENV PYTHONPYCACHEPREFIX=/app/bytecode
RUN rm -f /app/.lock && /app/bin/python -m compileall -q -j 0 \
    -x '/(PIL|anthropic|cffi|deepgram|elevenlabs|fastapi|google|jinja2|markdown|num2words|numpy|onnxruntime|openai|pycparser|sentry_sdk|twilio|yaml|pipecat/(services|transports))/' /app/lib
ARG CONFIG=examples/production.toml
COPY ${CONFIG} /app/tipring.toml
COPY docker/bake.py docker/
# The models are inside the wheels. They are optimised and loaded once here, so that one that is
# broken, or a package that is missing, fails the build and not a call.
RUN mkdir -p /cache && /app/bin/python docker/bake.py /app/tipring.toml


FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="tipring" \
      org.opencontainers.image.description="A phone agent that gets turn-taking right." \
      org.opencontainers.image.licenses="Apache-2.0"
# Two arenas: glibc's default keeps one for each of a call's many threads, and their memory with it.
# One thread for numpy: its arrays are small, and those of each core turn in circles at its import.
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPYCACHEPREFIX=/app/bytecode \
    MALLOC_ARENA_MAX=2 \
    OPENBLAS_NUM_THREADS=1 \
    SSL_CERT_DIR=/etc/ssl/certs \
    XDG_CACHE_HOME=/home/tipring/.cache \
    TIPRING_CONFIG=/app/tipring.toml \
    TIPRING_SERVER__HOST=0.0.0.0
# OpenSSL finds a certificate in the folder when it needs it. From the file, each client would read
# all the world's first: 45 ms of a core, before a host is ready and again in each call.
RUN useradd --create-home --uid 10001 tipring \
    && ls /etc/ssl/certs/*.0 > /dev/null && rm -f /usr/lib/ssl/cert.pem
COPY --from=build /app /app
# Phrases that the build could render.
COPY --from=build --chown=10001:10001 /cache /home/tipring/.cache
USER 10001
WORKDIR /home/tipring
EXPOSE 8080 9090
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
# exec form: SIGTERM reaches the host, which lets a live call finish.
CMD ["tipring", "serve"]
