import Testing

/// `EddyJSON` brings Foundation's encoders, and they bring libdispatch.
@Suite struct JSONInAHost {
    @Test func aHostThatUsesJSONHasOneThread() throws {
        #expect(try FixtureRun("", of: "JSONFixture").output == "received first 1\nthreads: 1\n")
    }
}
