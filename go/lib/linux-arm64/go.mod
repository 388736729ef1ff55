module github.com/portlease/portlease/go/lib/linux-arm64

go 1.24
