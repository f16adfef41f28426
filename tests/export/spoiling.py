"""Exports that are not the model, for tests of proofs."""


def spoil_a_folded_weight(monkeypatch):
    """One number of one kernel comes out wrong when batch norm is folded."""
    from reskeras.graph import fold

    merged = fold.merge

    def spoiled(conv, norm, weights):
        done = merged(conv, norm, weights)
        if conv.name == "stage1_unit1_conv1":
            weights[f"{conv.name}/kernel"][0, 0, 0, 0] += 0.5
        return done

    monkeypatch.setattr(fold, "merge", spoiled)
