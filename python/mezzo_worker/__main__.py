"""`python3 -m mezzo_worker --fd N`: started by the server with a connected socket as descriptor N."""

import argparse
import faulthandler
import signal
import socket

from .frames import Channel
from .worker import Worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="mezzo_worker", description="A model's process; started by the server.")
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the socket to the server")
    arguments = parser.parse_args()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Whoever interrupts the server lets it end its workers in order.
    channel = Channel(socket.socket(fileno=arguments.fd))
    Worker(channel).serve()


if __name__ == "__main__":
    main()
