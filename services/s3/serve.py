"""An object store that speaks S3: moto, one request at a time.

By itself moto looks whether an object is there and creates it in two steps: of two creations at once both may succeed, and
whoever rests on conditional creation, as this project does, would be tested against a store that does not have it.
"""

import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

store = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()


def one_at_a_time(environ, start_response):
    with lock:
        return list(store(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True)
