# The host of one call, for Cloudflare Containers or any other place that runs images.
#
#   docker build -t tipring .
#   docker build -t tipring --build-arg CONFIG=mine.toml --build-arg PLUGINS="tipring-turn-smart acme-stt" .

FROM python:3.12-slim-bookworm AS build
# What answers: this repository's plugins, and others that are published.
ARG PLUGINS="tipring-stt-deepgram tipring-turn-smart tipring-turn-flux tipring-llm-gateway tipring-tts-elevenlabs"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /app
WORKDIR /src
COPY pyproject.toml ./
COPY core core
COPY plugins plugins
# Pipecat requires numba, and with it llvmlite, for a resampler that nothing here uses: 200 MB that
# are never imported. The last line of this stage would fail if they were.
# hadolint ignore=SC2086
RUN printf '%s ; python_version < "3"\n' numba llvmlite > leave-out.txt \
    && uv build --all-packages --wheel --out-dir wheels \
    && uv pip install --python /app/bin/python --no-sources --find-links wheels \
        --overrides leave-out.txt tipring $PLUGINS
# The models are inside the wheels. They are loaded once here, so that one that is broken, or a
# package that is missing, fails the build and not a call.
COPY docker/bake.py ./
RUN /app/bin/python bake.py


FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="tipring" \
      org.opencontainers.image.description="A phone agent that gets turn-taking right." \
      org.opencontainers.image.licenses="Apache-2.0"
ARG CONFIG=examples/production.toml
# Two arenas: glibc's default keeps one for each of a call's many threads, and their memory with it.
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    TIPRING_CONFIG=/app/tipring.toml \
    TIPRING_SERVER__HOST=0.0.0.0
COPY --from=build /app /app
COPY ${CONFIG} /app/tipring.toml
RUN useradd --create-home --uid 10001 tipring
USER 10001
WORKDIR /home/tipring
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
# exec form: SIGTERM reaches the host, which lets a live call finish.
CMD ["tipring", "serve"]
