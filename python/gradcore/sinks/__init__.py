"""Where reports may go, each made from plain numbers of finished steps."""

from gradcore.sinks.csv_file import Csv
from gradcore.sinks.jsonl import JsonLines
from gradcore.sinks.log import Log
from gradcore.sinks.tensorboard import TensorBoard
from gradcore.sinks.wandb import WeightsAndBiases

__all__ = ["Csv", "JsonLines", "Log", "TensorBoard", "WeightsAndBiases"]
