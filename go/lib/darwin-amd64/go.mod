module github.com/portlease/portlease/go/lib/darwin-amd64

go 1.24
