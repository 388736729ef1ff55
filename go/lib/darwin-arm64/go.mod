module github.com/portlease/portlease/go/lib/darwin-arm64

go 1.24
