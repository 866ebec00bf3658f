import Testing

/// Relative paths that are kept while the working directory, which is the whole process's, becomes another one.
@Suite struct WorkingDirectoryTests {
    @Test func aSocketsFileIsRemovedFromWhereItWasMade() throws {
        let output = try FixtureRun("chdir-sockets").output
        #expect(output == #"bound: ["datagram", "sequenced", "stream"]"# + "\nclosed: []\n")
    }

    @Test func theFileOfAnotherSocketOfThatNameStays() throws {
        #expect(try FixtureRun("chdir-sockets-of-the-same-name").output == #"closed: [] open: ["socket"]"# + "\n")
    }

    @Test func aRecursiveWatcherFindsItsOwnNewDirectories() throws {
        #expect(
            try FixtureRun("chdir-watcher").output == """
                closedAfterWriting tree/c
                closedAfterWriting tree/new/b
                closedAfterWriting tree/newer/d
                closedAfterWriting tree/sub/a
                unwatched: true

                """)
    }

    @Test func whatIsTemporaryIsRemovedFromWhereItWasMade() throws {
        #expect(try FixtureRun("chdir-temporary").output == "there: true 2\nleft: [] []\n")
    }

    @Test func entriesAreThoseOfTheDirectoryThatWasMeant() throws {
        #expect(try FixtureRun("chdir-entries").output == "list/a\n")
    }

    @Test func aNamedPipeThatNobodyReadsYetIsTheOneThatWasMeant() throws {
        #expect(try FixtureRun("chdir-pipe").output == "read: hello\n")
    }

    @Test func aTreeIsRemovedWhereItIs() throws {
        #expect(try FixtureRun("chdir-removal").output == #"left: [] ["tree"]"# + "\n")
    }
}
