module github.com/portlease/portlease/go/lib/linux-amd64

go 1.24
