"""The density of a raw table: the likelihood of rows, the direction in which it rises, and unusual rows.

python examples/density.py
"""

from sklearn.datasets import load_wine

from scorenet import ScoreDensity

rows, kind = load_wine(return_X_y=True)  # 178 wines of three kinds, 13 columns, each with its own unit
known, foreign = rows[kind < 2], rows[kind == 2]
density = ScoreDensity(random_state=0, contamination=0.05).fit(known[::2])

for name, wines in (("known kinds, not seen", known[1::2]), ("the third kind", foreign)):
    unusual = (density.predict(wines) < 0).mean()
    print(f"{name:<22} log-density {density.score(wines):8.2f}   unusual {unusual:4.0%}")
score = density.score_function(foreign[:1])[0]
print(f"the first foreign wine would be likelier with {'more' if score[0] > 0 else 'less'} alcohol")
print("two more wines, alcohol and hue:", density.sample(2, random_state=1)[:, [0, 10]].round(2).tolist())
