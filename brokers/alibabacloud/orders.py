"""What the order system says of money, contracts and closed regions, to every product that sells.

Its codes are in the error list of each RDS action, also of those that order nothing.
"""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.families import (
    DISTURBANCE,
    REGION,
    RISK,
    UNREGISTERED,
    Kind,
    rule,
)

_GATEWAY: Final = "RDS, client error codes"
_ORDERS: Final = "RDS, error codes of CreateDBInstance and ModifyDBInstanceSpec"
_CONTRACTS: Final = "RDS, error codes of CreateAccount and RenewInstance"

ORDER_RULES: Final = (
    rule(
        Kind.UNKNOWN,
        DISTURBANCE,
        _ORDERS,
        r"CommodityServiceCalling\.Exception",
        r"Price\.CommoditySys",
        r"OrdTCommodityQueryError",
        r"ORD\.S\.QUERY\.PROD\.ERROR",
        r"System\.SaleValidateFailed",
        r"CallLxSdkFailed",
    ),
    rule(
        Kind.FAILED,
        REGION,
        _ORDERS,
        r"RegionDissolvedEOM",
        r"RegionEndTimeDissolved\w*",
    ),
    rule(
        Kind.ACCOUNT,
        RISK,
        _ORDERS,
        r"Risk\.RiskControlRejection",
        r"RISK\.RISK_CONTROL_REJECTION",
        r"RR309",
    ),
    rule(
        Kind.ACCOUNT,
        UNREGISTERED,
        _ORDERS,
        r"Order\.NoRealNameAuthentication",
    ),
    rule(
        Kind.ACCOUNT,
        "the data of the Alibaba Cloud account is incomplete: complete it in the console (Account "
        "Center), then try again",
        _ORDERS,
        r"BasicInfoUncompleted",
        r"Incomplete(Account|Tax)Info",
    ),
    rule(
        Kind.ACCOUNT,
        "the Alibaba Cloud account may not buy in this region: ask for it in the console, or the "
        "broker's operator has to set ALIBROKER_REGION to another one",
        _GATEWAY,
        r"RegionUnauthorized",
    ),
    rule(
        Kind.ACCOUNT,
        "the Alibaba Cloud account has no means of payment that works: add one in the console, "
        "then try again",
        _ORDERS,
        r"[Pp]ay\.[Nn]oCreditCard",
        r"[Nn]oAvailablePaymentMethod",
        r"InvalidPaymentMethod\.(Incomplete|Missing|NoAccess|InsufficientBalance)",
        r"Pay\.ChargeChannelNotFound",
        r"Pay\.AmountLimitExceeded",
    ),
    rule(
        Kind.ACCOUNT,
        "the balance of the Alibaba Cloud account is too low, or an order is unpaid: top it up, "
        "then try again",
        f"{_GATEWAY}; {_ORDERS}; {_CONTRACTS}",
        r"(.*\.)?(Insufficient|CREDIT_PAY_INSUFFICIENT_)B(alance|ALANCE)",
        r"InsuffcientBalanceOrBankAccount",  # the vendor's spelling
        r"CreditPayInsufficientBalance",
        r"AccountMoneyValidate\.error",
        r"Pay\.LowFunds",
        r"InsufficientAvailableQuota",
        r"(.*\.)?Inst(ance)?HasUn(paidOrder|settledBills)",
        r"OperationDenied\.OrderUnPaid",
        r"OrderStatus\.UnPaid",
        r"ArrearageOrderExists",
    ),
    rule(
        Kind.ACCOUNT,
        "the reseller of the Alibaba Cloud account has to approve the order, or to allow orders",
        f"{_CONTRACTS}; {_ORDERS}",
        r"TRADE_WAIT_DISTRIBUTOR_AUDIT",
        r"ContainForbiddenLabelError",
        r"AliCroup2CloudUserCannotBuyNotInnerCommodity",
    ),
)
