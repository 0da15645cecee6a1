#!/usr/bin/env bash
# What takes the plateau at the start of training away: one change after another, 30 epochs each.
# experiments/plateau.sh STORE OUT   (STORE: of the type Ia supernovae, see experiments/README.md)
set -euo pipefail
store=$1 out=$2

base="decoder=sequence data.view=first data.max_days=100 encoder.dropout=0 augment.thin=0 encoder.pool=cls encoder.position_embedding=false decoder.modulate=false decoder.position_std=0.02 loss=mse batch_size=128"
run() {
    name=$1
    shift
    # shellcheck disable=SC2086
    python -m rtf.train experiment=light_curves epochs=30 tracking=none progress=false data.store="$store" \
        run="$out/$name" $base "$@"
    python -m rtf.evaluate run="$out/$name" task=physical >/dev/null
    echo "$name: $(sed -n 5p "$out/$name/physical.md")"
}

run 0_published
base=${base/position_std=0.02/position_std=1.0};                      run 1_position_std
base=${base/position_embedding=false/position_embedding=true};        run 2_encoder_positions
base=${base/modulate=false/modulate=true};                            run 3_modulation
base=${base/pool=cls/pool=positions};                                 run 4_pool
base=${base/batch_size=128/batch_size=32};                            run 5_batch_32
base=${base/loss=mse/loss=huber};                                     run 6_huber
