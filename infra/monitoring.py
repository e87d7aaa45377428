"""Who hears of trouble, and of money: the topic, its alarms, the dashboard, and the budget."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.alarms import Alarms
from infra.dashboard import Dashboard
from infra.rights import Resources
from infra.stage import Stage

STAGE_TAG = "offpeak:stage"
# Of the month's budget: when it is nearly spent, and when the month is on its way past it.
ACTUAL_PERCENT, FORECAST_PERCENT = 80, 100


class Monitoring(Construct):
    """`topic`, `alarms`. A stage with `alarm_topic_arn` tells that topic, whose policy its owner keeps."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        resources: Resources,
        dead_letter_queues: Sequence[str],
    ) -> None:
        super().__init__(scope, id)
        stage = resources.stage
        self.topic = self._topic(stage)
        self.alarms = Alarms(
            self,
            "Alarms",
            resources=resources,
            dead_letter_queues=dead_letter_queues,
            topic=self.topic,
        )
        Dashboard(self, "Dashboard", resources=resources, alarms=self.alarms.all)
        if stage.budget_usd_per_month is not None:
            self._budget(stage, stage.budget_usd_per_month)

    def _topic(self, stage: Stage) -> sns.ITopic:
        if stage.alarm_topic_arn is not None:
            return sns.Topic.from_topic_arn(self, "Topic", stage.alarm_topic_arn)
        topic = sns.Topic(self, "Topic", topic_name=stage.named("alarms"), enforce_ssl=True)
        for service in ("cloudwatch", "budgets"):
            topic.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                    actions=["sns:Publish"],
                    resources=[topic.topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
                )
            )
        if stage.alarm_email is not None:
            topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
        return topic

    def _budget(self, stage: Stage, dollars: int) -> None:
        """Of all that carries the stage's tag, which must be activated as a cost allocation tag (docs/deploy.md)."""
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=f"offpeak-{stage.name}",
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=dollars, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{STAGE_TAG}${stage.name}"]},
            ),
            notifications_with_subscribers=[
                self._notice("ACTUAL", ACTUAL_PERCENT),
                self._notice("FORECASTED", FORECAST_PERCENT),
            ],
        )

    def _notice(
        self, kind: str, percent: int
    ) -> budgets.CfnBudget.NotificationWithSubscribersProperty:
        return budgets.CfnBudget.NotificationWithSubscribersProperty(
            notification=budgets.CfnBudget.NotificationProperty(
                notification_type=kind,
                comparison_operator="GREATER_THAN",
                threshold=percent,
                threshold_type="PERCENTAGE",
            ),
            subscribers=[
                budgets.CfnBudget.SubscriberProperty(
                    subscription_type="SNS", address=self.topic.topic_arn
                )
            ],
        )
