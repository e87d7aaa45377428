"""`/v1/models`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from offpeak.core.account import Scope
from offpeak.core.catalogue import Catalogue, Model
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
                scope=Scope.READ,
                summary="List the models, those that are deployed first.",
                gives=ModelList,
            ),
            Route(
                "GET",
                "/v1/models/<name>",
                self.show,
                scope=Scope.READ,
                summary="Show a model, by its id or an alias.",
                gives=ModelObject,
            ),
            # Most models' ids have a slash in them, and not every client escapes it.
            Route(
                "GET",
                "/v1/models/<owner>/<name>",
                self.show,
                scope=Scope.READ,
                summary="Show a model whose id has a slash in it.",
                gives=ModelObject,
            ),
        )

    # What is deployed comes first; the rest is listed, too, for whoever asks what could be.
    def list(self, call: Call) -> Response[str]:  # noqa: ARG002 - a route takes its call
        models = sorted(self._catalogue.models, key=self._catalogue.serves, reverse=True)
        return json_response({"object": "list", "data": [self._render(model) for model in models]})

    def show(self, call: Call, name: str, owner: str | None = None) -> Response[str]:  # noqa: ARG002
        asked = unquote(name if owner is None else f"{owner}/{name}")
        model = self._catalogue.known(asked)
        if model is None:
            raise NotFound(self._catalogue.absence(asked), param="model", code="model_not_found")
        return json_response(self._render(model))

    def _render(self, model: Model) -> ModelObject:
        return render_model(model, deployed=self._catalogue.serves(model))
