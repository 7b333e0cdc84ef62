"""cri.py SOCKET SECONDS: calls of the CRI. Each is a line [METHOD, REQUEST], answered by a line [ANSWER, ERROR].

crictl would do, but few distributions package it. cri_pb2 is what protoc makes of cri.proto.
"""

import json
import sys

import cri_pb2
import grpc
from google.protobuf import json_format


def call(channel, method, request):
    unary = channel.unary_unary(
        "/runtime.v1.RuntimeService/" + method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(cri_pb2, method + "Response").FromString,
    )
    message = json_format.ParseDict(request, getattr(cri_pb2, method + "Request")())
    try:
        answer = unary(message, timeout=float(sys.argv[2]))
    except grpc.RpcError as error:
        return None, f"{error.code().name}: {error.details()}"
    return json_format.MessageToDict(answer, preserving_proto_field_name=True), None


with grpc.insecure_channel("unix://" + sys.argv[1]) as channel:
    for line in sys.stdin:
        print(json.dumps(call(channel, *json.loads(line))), flush=True)
