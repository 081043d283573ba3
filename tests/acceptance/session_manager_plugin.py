"""A stand-in for AWS's session-manager-plugin, which the aws CLI starts by that name: the client side of its protocol.

Written from the public description of the protocol (frames, handshake, acknowledgements), without the code that is
tested. As the real one it takes no output before it has set itself up: the first message of it is not confirmed, and
must come again; of an encrypted session it has KMS make the key. What is typed comes from standard input; each line
waits until the prompt `# ` was shown.
"""

import base64
import hashlib
import json
import os
import re
import struct
import sys
import time
import uuid
from typing import Any

import boto3
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from websockets.sync.client import ClientConnection, connect

PROMPT = b"# "
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # a shell asks where the cursor is
SIZE = {"cols": 132, "rows": 43}


class Plugin:
    def __init__(self, socket: ClientConnection, lines: list[bytes], context: dict[str, str]) -> None:
        self.socket = socket
        self.context = context
        self.key = b""  # the agent's half, then ours
        self.lines = lines
        self.expected = 0
        self.next = 0
        self.early: dict[int, tuple[int, bytes]] = {}
        self.shown = b""
        self.refused_once = False
        self.is_ready = False

    def send(self, name: str, sequence: int, kind: int, payload: bytes, flags: int) -> None:
        raw = uuid.uuid4().bytes
        head = struct.pack(">I32sIQqQ", 116, name.encode().ljust(32), 1, int(time.time() * 1000), sequence, flags)
        tail = struct.pack(">II", kind, len(payload))
        self.socket.send(head + raw[8:] + raw[:8] + hashlib.sha256(payload).digest() + tail + payload)

    def input(self, kind: int, payload: bytes) -> None:
        if kind == 1:
            payload = self.sealed(payload)
        self.send("input_stream_data", self.next, kind, payload, 0)
        self.next += 1

    def acknowledge(self, frame: bytes, sequence: int) -> None:
        identity = uuid.UUID(bytes=frame[72:80] + frame[64:72])
        content = {
            "AcknowledgedMessageType": "output_stream_data",
            "AcknowledgedMessageId": str(identity),
            "AcknowledgedMessageSequenceNumber": sequence,
            "IsSequentialMessage": True,
        }
        self.send("acknowledge", 0, 0, json.dumps(content).encode(), 3)

    def sealed(self, plain: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(self.key[32:]).encrypt(nonce, plain, None) if self.key else plain

    def opened(self, data: bytes) -> bytes:
        return AESGCM(self.key[:32]).decrypt(data[:12], data[12:], None) if self.key else data

    def processed(self, asked: dict[str, Any]) -> dict[str, Any]:
        done = {"ActionType": asked["ActionType"], "ActionStatus": 1, "ActionResult": None, "Error": ""}
        if asked["ActionType"] != "KMSEncryption":
            return done
        try:
            made = boto3.client("kms").generate_data_key(
                KeyId=asked["ActionParameters"]["KMSKeyId"], NumberOfBytes=64, EncryptionContext=self.context
            )
        except ClientError as error:
            return done | {"ActionStatus": 2, "Error": str(error)}
        self.key = made["Plaintext"]
        sealed = base64.b64encode(made["CiphertextBlob"]).decode()
        return done | {"ActionResult": {"KMSCipherTextKey": sealed, "KMSCipherTextHash": None}}

    def run(self) -> None:
        while True:
            frame = self.socket.recv()
            assert isinstance(frame, bytes)
            name = frame[4:36].strip().decode()
            sequence = struct.unpack(">q", frame[48:56])[0]
            kind, length = struct.unpack(">II", frame[112:120])
            payload = frame[120:]
            assert length == len(payload) and hashlib.sha256(payload).digest() == frame[80:112]
            if name == "channel_closed":
                said = json.loads(payload)
                self.show(f"\n\nExiting session: {said['Output']}\n".encode())
                return
            if name == "output_stream_data":
                self.output(frame, sequence, kind, payload)

    def output(self, frame: bytes, sequence: int, kind: int, payload: bytes) -> None:
        if kind == 1 and not self.refused_once:
            self.refused_once = True
            return
        if sequence >= self.expected:
            self.early[sequence] = (kind, payload)
        self.acknowledge(frame, sequence)
        while self.expected in self.early:
            self.due(*self.early.pop(self.expected))
            self.expected += 1

    def due(self, kind: int, payload: bytes) -> None:
        if kind == 5:
            asked: list[dict[str, Any]] = json.loads(payload)["RequestedClientActions"]
            done = [self.processed(one) for one in asked]
            response = {"ClientVersion": "1.2.0.0", "ProcessedClientActions": done, "Errors": None}
            self.input(6, json.dumps(response).encode())
        elif kind == 8:
            challenge = self.opened(base64.b64decode(json.loads(payload)["Challenge"]))
            self.input(9, json.dumps({"Challenge": base64.b64encode(self.sealed(challenge)).decode()}).encode())
        elif kind == 7:
            self.show(json.loads(payload)["CustomerMessage"].encode() + b"\n")
            self.input(3, json.dumps(SIZE).encode())
        else:
            payload = self.opened(payload)
            self.shown += payload
            self.show(payload)
            if ESCAPES.sub(b"", self.shown).endswith(PROMPT) and self.lines:
                self.shown = b""
                self.input(1, self.lines.pop(0) + b"\r")

    def show(self, data: bytes) -> None:
        os.write(1, data)


def main(arguments: list[str]) -> None:
    if not arguments:
        sys.stdout.write("\nThe Session Manager plugin was installed successfully.\n\n")
        return
    response, _region, operation, _profile, parameters, _endpoint = arguments
    target = json.loads(parameters)["Target"]
    assert operation == "StartSession" and target.startswith("ecs:"), arguments
    session = json.loads(response)
    context = {"aws:ssm:SessionId": session["sessionId"], "aws:ssm:TargetId": target}
    with connect(session["streamUrl"], compression=None, proxy=None) as socket:
        opening = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": session["tokenValue"],
            "ClientId": str(uuid.uuid4()),
            "ClientVersion": "1.2.0.0",
        }
        socket.send(json.dumps(opening))
        Plugin(socket, sys.stdin.buffer.read().splitlines(), context).run()


if __name__ == "__main__":
    main(sys.argv[1:])
