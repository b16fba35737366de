# SPDX-License-Identifier: MIT
"""Searchers of other libraries, as their users would call them, on a space of
independent choices.

A search is called with how many choices each gate has, a function that gives the
accuracy of a tuple of them, how many trials it has, and a seed of its own: a number
for the library's random generator. It has each library's defaults, but for the size
of a population where the name says one.
"""

from dataclasses import dataclass
from importlib import metadata
from typing import Callable

# The imports are inside: a peer that is not installed is no error.


def optuna_search(make_sampler, choices, accuracy, trials, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        names = (f"gate{gate}" for gate in range(len(choices)))
        return accuracy(
            tuple(
                trial.suggest_categorical(name, range(count))
                for name, count in zip(names, choices)
            )
        )

    study = optuna.create_study(
        direction="maximize", sampler=make_sampler(optuna.samplers, seed)
    )
    study.optimize(objective, n_trials=trials)


def optuna_random(*task):
    optuna_search(lambda samplers, seed: samplers.RandomSampler(seed=seed), *task)


def optuna_tpe(*task):
    optuna_search(lambda samplers, seed: samplers.TPESampler(seed=seed), *task)


def optuna_nsga2(*task):
    optuna_search(lambda samplers, seed: samplers.NSGAIISampler(seed=seed), *task)


def optuna_nsga2_of_20(*task):
    optuna_search(
        lambda samplers, seed: samplers.NSGAIISampler(population_size=20, seed=seed),
        *task,
    )


def hyperopt_tpe(choices, accuracy, trials, seed):
    import hyperopt
    import numpy

    space = [
        hyperopt.hp.choice(f"gate{gate}", list(range(count)))
        for gate, count in enumerate(choices)
    ]
    hyperopt.fmin(
        lambda net: -accuracy(tuple(net)),
        space,
        algo=hyperopt.tpe.suggest,
        max_evals=trials,
        rstate=numpy.random.default_rng(seed),
        show_progressbar=False,
        verbose=False,
    )


def nevergrad_search(optimizer, choices, accuracy, trials, seed):
    import nevergrad

    space = nevergrad.p.Tuple(
        *(nevergrad.p.Choice(list(range(count))) for count in choices)
    )
    space.random_state.seed(seed)
    made = nevergrad.optimizers.registry[optimizer](space, budget=trials)
    made.minimize(lambda net: -accuracy(tuple(net)))


def nevergrad_ngopt(*task):
    nevergrad_search("NGOpt", *task)


def nevergrad_one_plus_one(*task):
    nevergrad_search("DiscreteOnePlusOne", *task)


def pymoo_search(make_algorithm, choices, accuracy, trials, seed):
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    class Nets(ElementwiseProblem):
        def __init__(self):
            super().__init__(
                n_var=len(choices),
                n_obj=1,
                xl=0,
                xu=[count - 1 for count in choices],
                vtype=int,
            )

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = -accuracy(tuple(map(int, x)))

    # As its documentation has integers.
    algorithm = make_algorithm(
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(Nets(), algorithm, ("n_evals", trials), seed=seed, verbose=False)


def pymoo_nsga2_of_20(*task):
    def make(**operators):
        from pymoo.algorithms.moo.nsga2 import NSGA2

        return NSGA2(pop_size=20, **operators)

    pymoo_search(make, *task)


def nni_search(tuner, choices, accuracy, trials):
    """By its tuner alone, without the processes that its experiments start."""
    tuner.update_search_space(
        {
            f"gate{gate}": {"_type": "choice", "_value": list(range(count))}
            for gate, count in enumerate(choices)
        }
    )
    for trial in range(trials):
        chosen = tuner.generate_parameters(trial)
        net = tuple(chosen[f"gate{gate}"] for gate in range(len(choices)))
        tuner.receive_trial_result(trial, chosen, accuracy(net))


def nni_tpe(choices, accuracy, trials, seed):
    from nni.algorithms.hpo.tpe_tuner import TpeTuner

    nni_search(TpeTuner("maximize", seed=seed), choices, accuracy, trials)


def nni_evolution(choices, accuracy, trials, seed):
    del seed  # it takes none: its searches cannot be repeated
    from nni.algorithms.hpo.evolution_tuner import EvolutionTuner

    nni_search(EvolutionTuner("maximize"), choices, accuracy, trials)


@dataclass(frozen=True)
class Peer:
    """A searcher, and the package that has it."""

    name: str
    package: str
    search: Callable

    def version(self):
        """None where it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


PEERS = (
    Peer("optuna RandomSampler", "optuna", optuna_random),
    Peer("optuna TPESampler", "optuna", optuna_tpe),
    Peer("optuna NSGAIISampler", "optuna", optuna_nsga2),
    Peer("optuna NSGAIISampler population 20", "optuna", optuna_nsga2_of_20),
    Peer("hyperopt tpe", "hyperopt", hyperopt_tpe),
    Peer("nni TpeTuner", "nni", nni_tpe),
    Peer("nni EvolutionTuner", "nni", nni_evolution),
    Peer("nevergrad NGOpt", "nevergrad", nevergrad_ngopt),
    Peer("nevergrad DiscreteOnePlusOne", "nevergrad", nevergrad_one_plus_one),
    Peer("pymoo NSGA2 population 20", "pymoo", pymoo_nsga2_of_20),
)
