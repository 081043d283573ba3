"""Cases of botocore's protocol vectors that cannot be run backwards, each with the reason. A listed case that passes
fails the test, so that this list only shrinks.
"""

_CLIENT_PATH = "the path in front belongs to the client's endpoint; a proxy there takes it away before it is ours"
_NO_BODY = "the case states the header alone: there is no compressed body to read (test_protocol_requests.py has one)"
_TOKEN = "the client fills the token in: it is in the request and not in what the client was given"
_NOT_SENT = "the client leaves empty lists and maps out of the request: nothing tells them from absent ones"
_EMPTY_STRUCTURE = "the client writes {} for an absent structure, a server reads an empty one"
_EVERY_PARAMETER = "a server cannot know which parameters the client had in the map: it gets all of them"

INPUT: dict[str, str] = {
    "input/ec2/Ec2EmptyQueryLists": _NOT_SENT,
    "input/ec2/Ec2ProtocolIdempotencyTokenAutoFill": _TOKEN,
    "input/ec2/Ec2QueryHostWithPath": _CLIENT_PATH,
    "input/ec2/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_ec2Query": _NO_BODY,
    "input/ec2/SDKAppliedContentEncoding_ec2Query": _NO_BODY,
    "input/json/AwsJson11HostWithPath": _CLIENT_PATH,
    "input/json/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1": _NO_BODY,
    "input/json/SDKAppliedContentEncoding_awsJson1_1": _NO_BODY,
    "input/json_1_0/AwsJson10HostWithPath": _CLIENT_PATH,
    "input/json_1_0/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0": _NO_BODY,
    "input/json_1_0/SDKAppliedContentEncoding_awsJson1_0": _NO_BODY,
    "input/query/QueryEmptyQueryMaps": _NOT_SENT,
    "input/query/QueryHostWithPath": _CLIENT_PATH,
    "input/query/QueryProtocolIdempotencyTokenAutoFill": _TOKEN,
    "input/query/SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery": _NO_BODY,
    "input/query/SDKAppliedContentEncoding_awsQuery": _NO_BODY,
    "input/rest-json/MediaTypeHeaderInputBase64": "the case gives the JSON's text, a member of the model its value",
    "input/rest-json/RestJsonHostWithPath": _CLIENT_PATH,
    "input/rest-json/RestJsonHttpPrefixHeadersAreNotPresent": _NOT_SENT,
    "input/rest-json/RestJsonHttpWithEmptyStructurePayload": _EMPTY_STRUCTURE,
    "input/rest-json/RestJsonHttpWithHeadersButNoPayload": _EMPTY_STRUCTURE,
    "input/rest-json/RestJsonOmitsEmptyListQueryValues": _NOT_SENT,
    "input/rest-json/RestJsonQueryIdempotencyTokenAutoFill": _TOKEN,
    "input/rest-json/RestJsonQueryParamsStringListMap": _EVERY_PARAMETER,
    "input/rest-json/RestJsonQueryPrecedence": _EVERY_PARAMETER,
    "input/rest-json/SDKAppendedGzipAfterProvidedEncoding_restJson1": _NO_BODY,
    "input/rest-json/SDKAppliedContentEncoding_restJson1": _NO_BODY,
}

_COMMAS = (
    "botocore's parser cuts a header list at every comma, also inside quotes and dates (it ignores the case itself)"
)
_SHARED_NAME = (
    "two flattened lists share their elements' name, and botocore reads both under it (it ignores the case itself)"
)

OUTPUT: dict[str, str] = {
    "output/ec2/Ec2XmlLists": _SHARED_NAME,
    "output/query/QueryXmlLists": _SHARED_NAME,
    "output/rest-json/HttpPrefixHeadersResponse": "an empty prefix takes in every header, the request id too",
    "output/rest-json/RestJsonHttpPayloadTraitsWithNoBlobBody": "botocore reads an absent blob as an empty one",
    "output/rest-json/RestJsonHttpPayloadWithUnsetUnion": "botocore refuses an absent union as one without members",
    "output/rest-json/RestJsonInputAndOutputWithQuotedStringHeaders": _COMMAS,
    "output/rest-json/RestJsonInputAndOutputWithTimestampHeaders": _COMMAS,
}
