import Eddy
@main struct X { static func main() {} }
