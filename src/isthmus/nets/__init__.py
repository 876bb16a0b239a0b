"""Networks: tensor in, tensor out; they know no probability."""
