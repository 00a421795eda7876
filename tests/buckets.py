"""An S3 server in this process, with conditional writes, for tests of buckets."""

from __future__ import annotations

import logging
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def serving_buckets() -> Iterator[Callable[[], str]]:
    """Give a function that makes an empty bucket and returns its URL; the environment names the server meanwhile."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of moto's and botocore's own code about their future
        import boto3
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        with mock.patch.dict(os.environ, {**account, "AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}):
            client = boto3.client("s3", endpoint_url=url)

            def make() -> str:
                name = f"bucket-{uuid.uuid4().hex[:8]}"  # storages are kept by their URL, whatever server it was of
                client.create_bucket(Bucket=name)
                return f"s3://{name}"

            yield make
            client.close()
        server.stop()
