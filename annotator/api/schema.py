"""The description of this API, for programs and for people."""

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from annotator.permissions import AnyRole


class Schema(SpectacularAPIView):
    """The OpenAPI schema."""

    permission_classes = (AnyRole,)


class Docs(SpectacularSwaggerSplitView):
    """The schema to read and try; its script is a file of its own, as the content policy wants it."""

    permission_classes = (AnyRole,)
    url_name = "api-schema"
