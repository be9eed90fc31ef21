"""Settings come from defaults, a file and --set, in that order; errors name the unknown or impossible setting."""

import json

import pytest

from runs.backtest import check_params, strategy_defaults
from runs.settings import Account, model_config, read_toml, run_settings
from scorenet import ConfigError, ModelConfig
from strategies import Costs, Rules


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return path

    return write


def resolve(path=None, *pairs):
    return run_settings(path, pairs, strategy_defaults())


def test_without_settings_there_are_the_defaults():
    account, params = resolve()
    assert account == Account()
    assert params == strategy_defaults()
    assert params == {
        "signal": "forward",
        "leverage": 1.0,
        **{name: getattr(Rules(), name) for name in Rules.__dataclass_fields__},
    }
    assert model_config(None, ()) == ModelConfig()


def test_nothing_is_free_by_default():
    account = Account()
    assert account.taker == 0.00055
    assert account.slippage > 0
    assert account.funding is True


def test_a_file_wins_over_the_defaults_and_set_over_the_file(file):
    path = file('[account]\ntaker = 0.001\ncash = 5\n[strategy]\nsignal = "state"\ncooldown = 3\n')
    account, params = resolve(path, "cash=7", "cooldown=4", "strategy.max_exposure=2", "account.slippage=0")
    assert (account.taker, account.cash, account.slippage) == (0.001, 7.0, 0.0)
    assert (params["signal"], params["cooldown"], params["max_exposure"]) == ("state", 4, 2)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("target_volatility=none", None),
        ("target_volatility=off", None),
        ("target_volatility=0.25", 0.25),
        ("cooldown=12", 12),
        ("signal=state", "state"),
        ('signal="state"', "state"),
        (" confidence_threshold = 0.5 ", 0.5),
    ],
)
def test_set_reads_numbers_words_and_off(pair, value):
    name = pair.partition("=")[0].strip()
    assert resolve(None, pair)[1][name] == value


@pytest.mark.parametrize("pair", ["cooldown", "=3", ""])
def test_set_wants_a_key_and_a_value(pair):
    with pytest.raises(ConfigError, match="expected key=value, found"):
        resolve(None, pair)


@pytest.mark.parametrize(
    ("pair", "hint"),
    [
        ("confidence_treshold=1", "did you mean 'confidence_threshold'?"),
        ("strategy.confidence_treshold=1", "did you mean 'confidence_threshold'?"),
        ("cahs=1", "did you mean 'cash'?"),
        ("xyzzy=1", "known: "),
    ],
)
def test_an_unknown_name_is_answered_with_a_known_one(pair, hint):
    with pytest.raises(ConfigError) as caught:
        resolve(None, pair)
    assert hint in str(caught.value)
    assert pair.partition("=")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[strategy]\nconfidence_treshold = 1", "did you mean 'strategy.confidence_threshold'?"),
        ("[account]\ntakr = 1", "did you mean 'account.taker'?"),
        ("[acount]\ntaker = 1", "did you mean 'account'?"),
        ("account = 3", "account: expected a table of settings, found 3"),
        ("taker = 0.001", "unknown setting 'taker'"),
        ("[account]\nfunding = 1", "funding: expected bool, found 1"),
        ('[account]\ncash = "much"', "cash: expected float, found 'much'"),
        ("[account]\ncash = true", "cash: expected float, found True"),
        ("[account]\ncash = 1e308", "cash: expected a positive amount up to 1e+15, found 1e+308"),
        (f"[account]\ncash = {'9' * 5_000}", "digits"),
        (f"[account]\ncash = {'9' * 400}", "digits"),
        ("[account]\ncash = " + "[" * 5_000, "levels"),
        ("not toml", "is not a TOML file"),
    ],
)
def test_a_wrong_file_is_explained(file, text, words):
    with pytest.raises(ConfigError) as caught:
        resolve(file(text))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("value", ["[" * 5_000, "9" * 5_000, "9" * 400, "{a=" * 3_000])
def test_a_hostile_value_of_set_is_explained(value):
    for settings in (run_settings_of, model_config):
        with pytest.raises(ConfigError, match="--set: expected a value, found") as caught:
            settings(None, [f"cash={value}"])
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["signal", "position_rule", "allocation"])
def test_a_list_of_lists_is_the_name_of_nothing(name):
    _, params = resolve(None, f"{name}=[[1]]")
    with pytest.raises(ConfigError, match=r"found .*\[1\]"):
        check_params(params)
    with pytest.raises(ConfigError, match=r"regimes\.uses: expected one or both"):
        model_config(None, ["regimes.uses=[[1]]"])


def run_settings_of(path, pairs):
    return resolve(path, *pairs)


@pytest.mark.parametrize("pair", ["fee=0.001", "account.fee=0.001"])
def test_the_former_name_of_a_setting_is_answered_with_the_present_one(file, pair):
    words = "the setting 'fee' is now called 'taker'; write taker in its place"
    with pytest.raises(ConfigError) as caught:
        resolve(None, pair)
    assert str(caught.value) == words
    with pytest.raises(ConfigError) as caught:
        resolve(file("[account]\nfee = 0.001"))
    assert str(caught.value) == words


def test_the_account_is_cash_and_costs():
    assert Account().costs == Costs()
    account, _ = resolve(None, "maker=-0.0001", "min_size=0.01", "max_size=2", "margin_leverage=20", "cash=7")
    assert account.cash == 7.0
    assert account.costs == Costs(maker=-0.0001, min_size=0.01, max_size=2.0, margin_leverage=20.0)
    assert Account.from_dict(account.to_dict()) == account


@pytest.mark.parametrize("tiers", [(), [(1_000, 0.01, 10), (5_000, 0.02, 5)]])
def test_an_account_survives_json(tiers):
    account = Account(risk_tiers=tiers, symbols={"A": {"taker": 0.001}})
    plain = account.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert Account.from_dict(plain) == account


def test_a_file_that_is_not_there_or_no_file_is_explained(tmp_path):
    with pytest.raises(ConfigError, match="no settings file at"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*directory"):
        read_toml(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not a TOML file"):
        read_toml(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cash", 0.0),
        ("cash", float("inf")),
        ("taker", -0.001),
        ("taker", 1.0),
        ("maker", -0.011),
        ("maker", 1.0),
        ("max_size", -1.0),
        ("min_size", float("nan")),
        ("slippage", float("nan")),
        ("lot_step", -1.0),
        ("min_notional", float("inf")),
        ("margin_leverage", 0.5),
        ("margin_leverage", float("inf")),
        ("maintenance_margin", 0.1),
        ("maintenance_margin", -0.1),
    ],
)
def test_an_impossible_account_is_refused_before_it_is_built(name, value):
    with pytest.raises(ConfigError) as caught:
        Account.from_dict({name: value})
    assert str(caught.value).startswith(f"{name}: expected")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"confidence_threshold": "high"},
            "confidence_threshold: expected a number between 0 and 1, found 'high'",
        ),
        ({"confidence_threshold": None}, "confidence_threshold: expected a number"),
        ({"cooldown": 1.5}, "cooldown: expected a whole number of bars, found 1.5"),
        ({"signal": "momentum"}, "signal: expected one of forward, state; found 'momentum'"),
        ({"leverage": 0}, "leverage: expected a positive number, found 0"),
        ({"leverage": "2x"}, "leverage: expected a positive number, found '2x'"),
        ({"leverage": float("nan")}, "leverage: expected a positive number, found nan"),
        ({"leverage": True}, "leverage: expected a positive number, found True"),
    ],
)
def test_impossible_parameters_of_the_strategy_are_config_errors(change, words):
    with pytest.raises(ConfigError) as caught:
        check_params({**strategy_defaults(), **change})
    assert words in str(caught.value)


def test_the_defaults_pass_the_check():
    check_params(strategy_defaults())


def test_model_settings_take_dotted_names(file):
    path = file('features = "chapter"\n[forward]\nhorizon = 4\n')
    config = model_config(path, ["forward.horizon=8", "state.learning_rate=1"], "extended")
    assert config.features == "extended"
    assert config.forward.horizon == 8
    assert config.state.learning_rate == 1.0


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("forward.horizn=8", "did you mean 'forward.horizon'?"),
        ("horizon=8", "did you mean 'forward.horizon'?"),
        ("forward.horizon=soon", "forward.horizon: expected int, found 'soon'"),
        ("forward.horizon=0", "forward.horizon: expected at least 1 bar, found 0"),
        ("forward=3", "unknown setting 'forward'"),
        ("seed=none", "seed: expected int, found None"),
    ],
)
def test_wrong_model_settings_are_explained(pair, words):
    with pytest.raises(ConfigError) as caught:
        model_config(None, [pair])
    assert words in str(caught.value)


# Contracts and symbols -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "contract"),
    [("BTC/USDT:USDT", "linear"), ("BTC/USD:BTC", "inverse"), ("BTC/USDT", "spot"), ("A", "linear")],
)
def test_the_contract_is_taken_from_the_symbol_unless_it_is_set(symbol, contract):
    assert resolve()[0].costs_of(symbol).contract == contract
    assert resolve(None, "contract=linear")[0].costs_of(symbol).contract == "linear"


def test_every_new_setting_of_the_account_can_be_set(file):
    pairs = (
        "margin_mode=isolated",
        "risk_tiers=[[2000000, 0.005, 100], [2600000, 0.0056, 90]]",
        "slippage_model=impact",
        "half_spread=0.0003",
        "impact=0.02",
        "participation=0.1",
        "tick_size=0.1",
        "mult=2",
    )
    costs = resolve(None, *pairs)[0].costs
    assert (costs.margin_mode, costs.slippage_model, costs.half_spread) == ("isolated", "impact", 0.0003)
    assert (costs.impact, costs.participation, costs.tick_size, costs.mult) == (0.02, 0.1, 0.1, 2.0)
    assert costs.risk_tiers[1] == (2_600_000, 0.0056, 90, pytest.approx(1_200.0))


def test_a_symbol_may_have_costs_of_its_own(file):
    path = file(
        '[account]\ntaker = 0.001\n[account.symbols."ETH/USDT:USDT"]\ntaker = 0.002\ntick_size = 0.01\n'
    )
    account, _ = resolve(path)
    assert (account.costs_of("ETH/USDT:USDT").taker, account.costs_of("ETH/USDT:USDT").tick_size) == (
        0.002,
        0.01,
    )
    assert account.costs_of("BTC/USDT:USDT") == account.costs
    assert Account.from_dict(account.to_dict()) == account


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("takr = 1", "did you mean 'symbols.X.taker'"),
        ("slippage = 0.1", "unknown setting 'symbols.X.slippage'"),
        ("taker = 2.0", "symbols.X: taker: expected a fraction"),
    ],
)
def test_wrong_costs_of_a_symbol_are_named(file, own, message):
    with pytest.raises(ConfigError, match=message):
        resolve(file(f"[account.symbols.X]\n{own}\n"))


def test_the_symbols_of_an_account_settle_in_one_coin():
    Account().check_coins(["BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT", "A"])
    with pytest.raises(
        ConfigError, match=r"one settlement coin, found BTC/USDT:USDT in USDT, BTC/USD:BTC in BTC"
    ):
        Account().check_coins(["BTC/USDT:USDT", "BTC/USD:BTC"])


def test_an_unknown_contract_is_answered_with_a_known_one():
    with pytest.raises(
        ConfigError, match=r"contract: expected one of auto, linear, inverse, spot.*did you mean 'spot'"
    ):
        resolve(None, "contract=spt")
