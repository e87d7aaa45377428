"""`/v1/models`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import NotFound
from offpeak.wire.openai.answers import ModelList, ModelObject
from offpeak.wire.openai.objects import render_model


class ModelRoutes:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "GET",
                "/v1/models",
                self.list,
                summary="List the models that are served.",
                gives=ModelList,
            ),
            Route(
                "GET",
                "/v1/models/<name>",
                self.show,
                summary="Show a model, by its id or an alias.",
                gives=ModelObject,
            ),
            # Most models' ids have a slash in them, and not every client escapes it.
            Route(
                "GET",
                "/v1/models/<owner>/<name>",
                self.show,
                summary="Show a model whose id has a slash in it.",
                gives=ModelObject,
            ),
        )

    def list(self, call: Call) -> Response[str]:  # noqa: ARG002 - a route takes its call
        models = [render_model(model) for model in self._catalogue.models]
        return json_response({"object": "list", "data": models})

    def show(self, call: Call, name: str, owner: str | None = None) -> Response[str]:  # noqa: ARG002
        asked = unquote(name if owner is None else f"{owner}/{name}")
        model = self._catalogue.known(asked)
        if model is None:
            raise NotFound(f"There is no model {asked}.", param="model", code="model_not_found")
        return json_response(render_model(model))
