"""The real `aws`, loaded once: most of a call's time would be starting Python, and the scripts call it 200 times.

    warm_aws.py serve SOCKET     with the packages of `moto`: loads the command line interface, and forks for each call
    warm_aws.py call SOCKET …    hands arguments, environment, directory and its standard streams to it

A call is a process of its own, as it would be otherwise, and ends with the interface's exit code.
"""

import array
import functools
import json
import os
import signal
import socket
import sys

STREAMS = (0, 1, 2)
SERVICES = ("acm", "cloudformation", "dynamodb", "ecr", "ecs", "elbv2", "logs", "s3", "s3api", "secretsmanager", "sts")


def serve(path: str) -> None:
    # Only here: `call` runs with whatever Python there is.
    import awscli.clidriver
    from awscli.botocore import loaders

    # Descriptions of services are large files; what is read before the fork is there after it.
    loaders.JSONFileLoader.load_file = functools.lru_cache(maxsize=None)(loaders.JSONFileLoader.load_file)
    loaders.JSONFileLoader.__hash__, loaders.JSONFileLoader.__eq__ = lambda _: 0, lambda *_: True
    driver = awscli.clidriver.create_clidriver()
    commands = driver._get_command_table()
    for service in SERVICES:
        if hasattr(commands[service], "_get_command_table"):
            commands[service]._get_command_table()
        service = "s3" if service == "s3api" else service
        driver.session.create_client(service, "eu-central-1", aws_access_key_id="none", aws_secret_access_key="none")

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(16)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                code = answer(connection, driver.main)
                connection.sendall(bytes([code & 0xFF]))
                os._exit(0)
            connection.close()


def answer(connection: socket.socket, main: object) -> int:
    size = len(STREAMS) * array.array("i").itemsize
    first, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(size))
    streams = array.array("i")
    streams.frombytes(ancillary[0][2][:size])
    for target, stream in zip(STREAMS, streams, strict=True):
        os.dup2(stream, target)
        os.close(stream)
    text = first
    while not text.endswith(b"\n"):
        text += connection.recv(1 << 16)
    call = json.loads(text)
    os.chdir(call["directory"])
    # Set by the interface when it was loaded: where its descriptions of services are.
    data = os.environ["AWS_DATA_PATH"]
    os.environ.clear()
    os.environ.update(call["environment"], AWS_DATA_PATH=data)
    sys.argv = ["aws", *call["arguments"]]
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, encoding="utf-8") for number, mode in zip(STREAMS, "rww", strict=True))
    try:
        code = main(call["arguments"]) or 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def call(path: str, arguments: list[str]) -> int:
    request = {"arguments": arguments, "environment": dict(os.environ), "directory": os.getcwd()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        text = json.dumps(request).encode() + b"\n"
        sent = connection.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", STREAMS))])
        connection.sendall(text[sent:])
        code = connection.recv(1)
    # Without an answer the call broke off.
    return code[0] if code else 70


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    sys.exit(call(sys.argv[2], sys.argv[3:]))
