"""ECR's errors with its own sentences. The API tells each under its code; the registry protocol's: wire.py."""

from ...model.errors import AwsError


class RepositoryNotFound(AwsError):
    code = "RepositoryNotFoundException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(f"The repository with name '{name}' does not exist in the registry with id '{account}'")


class RepositoryAlreadyExists(AwsError):
    code = "RepositoryAlreadyExistsException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(f"The repository with name '{name}' already exists in the registry with id '{account}'")


class RepositoryNotEmpty(AwsError):
    code = "RepositoryNotEmptyException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(
            f"The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still "
            "contains images"
        )


class RepositoryPolicyNotFound(AwsError):
    code = "RepositoryPolicyNotFoundException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(
            f"Repository policy does not exist for the repository with name '{name}' in the registry with id "
            f"'{account}'"
        )


class LifecyclePolicyNotFound(AwsError):
    code = "LifecyclePolicyNotFoundException"

    def __init__(self, name: str, account: str) -> None:
        super().__init__(
            f"Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
        )


class LifecyclePolicyPreviewNotFound(AwsError):
    code = "LifecyclePolicyPreviewNotFoundException"


class RegistryPolicyNotFound(AwsError):
    code = "RegistryPolicyNotFoundException"

    def __init__(self, account: str) -> None:
        super().__init__(f"Registry policy does not exist in the registry with id '{account}'")


class ImageNotFound(AwsError):
    code = "ImageNotFoundException"


class ImageAlreadyExists(AwsError):
    code = "ImageAlreadyExistsException"


class ImageTagAlreadyExists(AwsError):
    code = "ImageTagAlreadyExistsException"

    def __init__(self, tag: str, name: str) -> None:
        super().__init__(
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the "
            "tag is immutable."
        )


class ImageDigestDoesNotMatch(AwsError):
    code = "ImageDigestDoesNotMatchException"


class LayersNotFound(AwsError):
    code = "LayersNotFoundException"


class ReferencedImagesNotFound(AwsError):
    code = "ReferencedImagesNotFoundException"


class UploadNotFound(AwsError):
    code = "UploadNotFoundException"


class InvalidLayer(AwsError):
    code = "InvalidLayerException"


class InvalidLayerPart(AwsError):
    code = "InvalidLayerPartException"


class LayerAlreadyExists(AwsError):
    code = "LayerAlreadyExistsException"


class EmptyUpload(AwsError):
    code = "EmptyUploadException"


class LimitExceeded(AwsError):
    code = "LimitExceededException"


class InvalidTagParameter(AwsError):
    code = "InvalidTagParameterException"


class TooManyTags(AwsError):
    code = "TooManyTagsException"


class ScanNotFound(AwsError):
    code = "ScanNotFoundException"


class Validation(AwsError):
    code = "ValidationException"


class PullThroughCacheRuleNotFound(AwsError):
    code = "PullThroughCacheRuleNotFoundException"


class PullThroughCacheRuleAlreadyExists(AwsError):
    code = "PullThroughCacheRuleAlreadyExistsException"


class UnsupportedUpstreamRegistry(AwsError):
    code = "UnsupportedUpstreamRegistryException"


class UpstreamSecretNotFound(AwsError):
    code = "SecretNotFoundException"

    def __init__(self) -> None:
        super().__init__(
            "The ARN of the secret specified in the pull through cache rule was not found. Update the pull through "
            "cache rule with a valid secret ARN and try again."
        )


class UnableToAccessSecret(AwsError):
    code = "UnableToAccessSecretException"

    def __init__(self) -> None:
        super().__init__(
            "The secret is unable to be accessed. Verify the resource permissions for the secret and try again."
        )


class UnableToDecryptSecretValue(AwsError):
    code = "UnableToDecryptSecretValueException"

    def __init__(self) -> None:
        super().__init__(
            "The secret is accessible but is unable to be decrypted. Verify the resource permisisons and try again."
        )


class UnableToGetUpstreamImage(AwsError):
    """The upstream registry is away, or what it sent is not the image that it promised."""

    code = "UnableToGetUpstreamImageException"


class UpstreamDenied(UnableToGetUpstreamImage):
    pass


class UnableToGetUpstreamLayer(AwsError):
    code = "UnableToGetUpstreamLayerException"


class BackendAway(AwsError):
    """The process that keeps the bytes does not answer, or answers what it should not."""

    code = "ServerException"
    status = 500

    def __init__(self, message: str = "The image registry's storage does not answer. Please try again.") -> None:
        super().__init__(message)


class NoRoom(AwsError):
    """The databases beside the images must never meet a full disk."""

    code = "ServerException"
    status = 500

    def __init__(self) -> None:
        super().__init__("The region's disk has no room for more images.")
