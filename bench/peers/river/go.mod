module mezzo.dev/bench/river

go 1.24.0

require github.com/riverqueue/river/cmd/river v0.26.0
