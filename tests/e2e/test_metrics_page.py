"""The metrics are a contract with dashboards and alerts: their names, types and labels change only with their page."""

import metrics_page


def test_the_metrics_reference_is_what_the_server_exposes():
    assert metrics_page.PAGE.read_text() == metrics_page.current(), "run ./dev docs"
