module github.com/portlease/portlease/go/lib/windows-amd64

go 1.24
