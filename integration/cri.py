"""cri.py SOCKET METHOD: one call of the CRI; the request comes, and the answer goes, as JSON.

crictl would do, but few distributions package it. cri_pb2 is what protoc makes of cri.proto.
"""

import json
import sys

import cri_pb2
import grpc
from google.protobuf import json_format

socket, method = sys.argv[1:]
request = json_format.ParseDict(json.load(sys.stdin), getattr(cri_pb2, method + "Request")())
with grpc.insecure_channel("unix://" + socket) as channel:
    call = channel.unary_unary(
        "/runtime.v1.RuntimeService/" + method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(cri_pb2, method + "Response").FromString,
    )
    try:
        answer = call(request, timeout=50)
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
json.dump(json_format.MessageToDict(answer, preserving_proto_field_name=True), sys.stdout)
