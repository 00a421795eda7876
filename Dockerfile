# A server of exported models, without PyTorch:
#   docker build -t spectro .
#   docker run -p 8000:8000 -e SPECTRO_TOKEN -v "$PWD/model.onnx:/models/model.onnx:ro" spectro
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY spectro spectro
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve]'

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 spectro
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH
USER spectro
WORKDIR /models
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/readyz', timeout=5)"]
ENTRYPOINT ["spectro", "serve", "--host", "0.0.0.0"]
CMD ["/models/model.onnx"]
