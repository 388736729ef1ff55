module github.com/portlease/portlease/go

go 1.24
