-- The four marts. Keys are the grain named in the header of each mart's file; money is in won, rates are per cent.

CREATE TABLE daygate.mart_user_daily (
    user_id                text    NOT NULL,
    activity_date          date    NOT NULL,
    session_count          bigint  NOT NULL,
    page_view_count        bigint  NOT NULL,
    click_count            bigint  NOT NULL,
    add_to_cart_count      bigint  NOT NULL,
    purchase_count         bigint  NOT NULL,
    search_count           bigint  NOT NULL,
    total_purchase_amount  numeric NOT NULL,
    first_event_at         timestamptz,
    last_event_at          timestamptz,
    session_duration_total interval,
    PRIMARY KEY (activity_date, user_id)
);

CREATE TABLE daygate.mart_funnel_daily (
    funnel_date             date   NOT NULL,
    platform                text   NOT NULL,
    step1_viewers           bigint NOT NULL,
    step2_clickers          bigint NOT NULL,
    step3_cart_adders       bigint NOT NULL,
    step4_purchasers        bigint NOT NULL,
    view_to_click_rate      numeric,
    click_to_cart_rate      numeric,
    cart_to_purchase_rate   numeric,
    overall_conversion_rate numeric,
    PRIMARY KEY (funnel_date, platform)
);

CREATE TABLE daygate.mart_product_daily (
    product_id      text    NOT NULL,
    activity_date   date    NOT NULL,
    click_count     bigint  NOT NULL,
    cart_add_count  bigint  NOT NULL,
    purchase_count  bigint  NOT NULL,
    revenue         numeric NOT NULL,
    units_sold      numeric NOT NULL,
    unique_viewers  bigint  NOT NULL,
    unique_buyers   bigint  NOT NULL,
    conversion_rate numeric,
    PRIMARY KEY (activity_date, product_id)
);

CREATE TABLE daygate.mart_orders (
    order_id        text    NOT NULL,
    order_date      date    NOT NULL,
    user_id         text,
    order_timestamp timestamptz,
    total_amount    numeric,
    payment_method  text,
    platform        text,
    discount_amount numeric,
    shipping_fee    numeric,
    coupon_code     text,
    item_count      bigint,
    PRIMARY KEY (order_date, order_id)
);
