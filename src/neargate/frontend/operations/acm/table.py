"""The ACM operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .certificates import delete_certificate, describe_certificate, get_certificate, list_certificates
from .importing import import_certificate
from .requesting import request_certificate
from .tags import add_tags_to_certificate, list_tags_for_certificate, remove_tags_from_certificate

OPERATIONS: dict[str, Operation] = {
    "AddTagsToCertificate": add_tags_to_certificate,
    "DeleteCertificate": delete_certificate,
    "DescribeCertificate": describe_certificate,
    "GetCertificate": get_certificate,
    "ImportCertificate": import_certificate,
    "ListCertificates": list_certificates,
    "ListTagsForCertificate": list_tags_for_certificate,
    "RemoveTagsFromCertificate": remove_tags_from_certificate,
    "RequestCertificate": request_certificate,
}
