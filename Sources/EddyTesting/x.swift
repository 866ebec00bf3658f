import Eddy
