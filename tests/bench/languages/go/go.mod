module github.com/portlease/portlease/tests/bench/languages/go

go 1.24.0

require github.com/portlease/portlease/go v0.0.0

replace github.com/portlease/portlease/go => ../../../../go
