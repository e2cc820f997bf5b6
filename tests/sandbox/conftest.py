"""Sandboxes of one test, stopped after it."""

import pytest
import requests

from helpers.sandbox.server import create_app, start_in_thread


class Served:
    """A sandbox that is running: its app, and requests to it."""

    def __init__(self, app):
        self.app = app
        self.url, self.stop = start_in_thread(app)

    def get(self, path: str, token: str = "anything", **query) -> requests.Response:
        """GET of Wistia's side."""
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(self.url + path, params=query, headers=headers, timeout=30)

    def call(self, method: str, path: str, body=None, key: str = "mvra_live_x", **query):
        """A request to Mavera's side."""
        headers = {"Authorization": f"Bearer {key}"}
        return requests.request(
            method, f"{self.url}/api/v1{path}", params=query, json=body, headers=headers, timeout=30
        )


@pytest.fixture
def serve():
    served = []

    def start(account=None, **options) -> Served:
        served.append(Served(create_app(account, **options)))
        return served[-1]

    yield start
    for one in served:
        one.stop()
